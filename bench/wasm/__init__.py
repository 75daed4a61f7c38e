"""Components: what a call of a guest costs inside of a process of ours."""
