# placeholder for install rules
