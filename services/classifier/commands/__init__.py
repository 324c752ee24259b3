"""The shell's door: `pursight rules …` and `pursight classifier …`."""
