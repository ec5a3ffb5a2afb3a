"""The orchestrator as a process: a thin shell around the ledger, the scheduler and discovery.

::

    intake      from a message of gpu.tasks to a record of the log; pure
    sightings   from a report of gpu.devices to records of the log; pure
    results_watch  which tasks lack their result; pure
    service     follows the log, owns the domain, writes what the others decide
"""
