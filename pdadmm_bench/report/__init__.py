"""Tables and pictures made of result rows and of the steps of runs, and how they are written."""
