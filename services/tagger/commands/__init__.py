"""What the shell does with jobs, contracts and costs; each file is loaded only by who asks for it."""
