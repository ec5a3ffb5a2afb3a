"""Who gets which device: the inventory, the allocation log's fold, policies, decisions and their replay."""
