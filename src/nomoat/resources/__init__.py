"""The only road to data: every public method demands a Permit and takes its coordinates from it alone."""
