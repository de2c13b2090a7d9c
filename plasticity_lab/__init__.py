"""All but data, networks and callbacks: measurements, surgery, runs, studies, analyses."""
