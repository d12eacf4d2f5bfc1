"""Random stories of wishes, undos, faults and `kill -9` on the simulators; an oracle judges what became of them."""
