"""The pickers, one file each; profile.py names them."""
