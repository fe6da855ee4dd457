"""How long the end of an attempt may take, from the end of its job to the agent's last word.

Each part has a bound where it stands; they follow one another, so a launcher waits for their sum. Model checkpoints and
the environment's files share one bound, which begins as the job ends; all anchors share one.

BUG: a move to a home on another file system has no bound: a launcher may then say that the record is not closed yet.
"""

from __future__ import annotations

from typing import Final

from saksi.processes.agent import environment_files, imports, live_watch, mapped_files, mapped_watch
from saksi.processes.agent.anchors import LAST_HEAD_S
from saksi.processes.agent.attempt import FILES_NS
from saksi.processes.agent.intake import LAST_READ_NS
from saksi.processes.agent.notices import BROKEN_OFF_S, LAST_NOTICES_S

__all__ = ["LAST_WORD_S"]

COMMITS_S: Final = 15.0
"""The last commits, the published log, and the checks over the whole record."""
LAST_WORD_S: Final = (
    (FILES_NS + LAST_READ_NS + live_watch.LAST_NS + mapped_watch.LAST_NS) / 1e9
    + environment_files.LAST_S
    + mapped_files.LAST_S
    + imports.LAST_S
    + LAST_HEAD_S
    + LAST_NOTICES_S
    + BROKEN_OFF_S
    + COMMITS_S
)
"""How long a launcher waits for the last word; the agent goes on alone after this."""
