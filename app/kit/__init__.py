"""Tools that know the libraries we stand on but nothing of the registry's rules."""
