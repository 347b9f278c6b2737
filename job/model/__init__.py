"""The pretrained model: found, checked, built, told what learns."""
