"""Tasks on devices: the agents that users write, and the child processes that run them.

::

    agent       GPUAgent, which users extend, and the Task that it is given
    registry    from entry points and ``module:Class`` to a table of agents
    runner      runs an Assignment in a child process; an Outcome comes back, whatever happens
    parallel    several devices for one task

A process that only wants its child to die with it must be able to import this package for nothing, so
nothing is imported here.
"""
