"""How fast, how large, how accurate: measured on the machine at hand. Figures in the README come from here."""
