"""Many pictures: jobs, what is left of them, and who makes which."""
