"""What the catalog keeps of each event, and what it says about it. Pure: values in, values out."""
