"""How an exported model is run, behind one interface."""
