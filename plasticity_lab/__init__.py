"""Everything but what is trained, what it sees, and what is done to it and measured of it: runs, studies, analyses."""
