"""Many runs of one photograph as one program."""
