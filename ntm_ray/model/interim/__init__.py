"""How a CPU trains until its own learner takes over; nothing here stays."""
