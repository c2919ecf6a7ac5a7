"""How the nodes' parameters get their values: files, command line, checks, declaration, changes."""
