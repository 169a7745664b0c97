# placeholder for configure summary
