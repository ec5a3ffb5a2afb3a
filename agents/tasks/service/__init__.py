"""The task agent as a process: takes up the grants on its host's devices and runs them.

::

    outbox     results that are written down before they are promised, so that a kill loses none
    requests   the requests that grants are about, from gpu.tasks
    drafts     what an attempt comes to
    tending    gives memory back when the guard asks
    ender      ends a child of ours, step by step, where that is allowed
    service    follows the log, runs what the fold has accepted, says how it ended

The fold is the orchestrator's own code: both sides must come to the same state
(docs/decisions/0024). It is the one thing of ``orchestrator`` that is imported here.
"""
