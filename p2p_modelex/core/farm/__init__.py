"""Virtual farms: who is a member, by certificates and by what the farm's owner says of them."""
