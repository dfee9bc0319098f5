"""Runs a program at a terminal, as a person would: waits for each question and types the answer, then prints all that the terminal showed.

Arguments: the program and its parameters. Standard input: JSON, a list of [question, answer]. Ends with the program's exit status.
"""

import json
import os
import pty
import select
import sys

PATIENCE_SECS = 120

steps = json.load(sys.stdin)
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])

shown, seen = "", 0
while True:
    if not select.select([terminal], [], [], PATIENCE_SECS)[0]:
        os.kill(child, 9)
        shown += "\n[nothing more came]"
        break
    try:
        part = os.read(terminal, 65536)
    except OSError:  # Linux says so when the program has ended.
        break
    if not part:
        break
    shown += part.decode("utf8", "replace")
    if steps and steps[0][0] in shown[seen:]:
        seen = len(shown)
        os.write(terminal, steps.pop(0)[1].encode())

status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(shown)
sys.exit(status if status >= 0 else 1)
