"""Where jobs run: Docker containers or local processes, behind one Protocol (see ``base``)."""
