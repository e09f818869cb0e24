"""What a scenario may say, read and validated."""
