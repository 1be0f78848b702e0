-- Last: warns whoever creates the extension.
SELECT reconciler._warn_of_setup();
