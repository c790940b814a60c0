"""The one-machine stack: environments, Java, jars and servers in the project's folder, and the processes that use them.

`python -m stack.setup` runs on the system's python3 and needs nothing else; what it imports keeps to the standard
library. `stack.up`, `stack.down` and `stack.status` run in the core environment. What is installed lies in `.venv/`
and `var/` of the project; what a stack writes lies in `Settings.var_dir`, so that a second stack (the tests') can run
beside the first on other ports with the same installed things.
"""
