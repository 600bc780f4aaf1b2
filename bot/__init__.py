"""The application: doors, a book of commands, a voice, pages."""
