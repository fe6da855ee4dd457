"""The guest in the user's process. Stands apart: nothing here is imported by saksi."""
