"""`modelex demo`: a whole mesh on one machine, honest nodes and two that are not."""
