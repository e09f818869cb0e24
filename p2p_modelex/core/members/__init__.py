"""What members of a farm share: their lines before engines, and the deposits that pay them all."""
