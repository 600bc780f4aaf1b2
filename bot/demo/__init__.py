"""The sample town ながれ市 and the cases that run in it: invented, every one."""
