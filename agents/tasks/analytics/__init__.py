"""The task types of the analytics, a file each: thin layers over the functions that do the work.

What these functions need is imported when a child makes the agent, before its task's memory is counted:
the agent process only reads the declarations. Where bars come from is the same for all, :mod:`.bars`.
"""
