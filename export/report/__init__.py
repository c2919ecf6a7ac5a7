"""What an export found, for people: pages, tables, times."""
