"""Everything that carries our tag, in every region asked for: what there is, what is wrong with it, what may go."""
