"""Files of users: written whole or not at all, read within limits, and one line about what is wrong with one."""
