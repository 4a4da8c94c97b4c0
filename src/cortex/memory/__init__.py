"""Agent memory: facts with two clocks, their slots and threads, search and recall over them."""
