"""What a run leaves for people: tables and pictures."""
