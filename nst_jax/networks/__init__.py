"""The networks: their weights as data, VGG and what it is made of."""
