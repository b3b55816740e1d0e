#pragma once
/* Files and folders with all beneath them. */

/* Removes name, looked up in an open folder (or AT_FDCWD), without following links; bounded memory
 * and open files at any depth. Missing is 0; -errno. */
int tree_remove(int folder, const char *name);

/* A file, or a folder with all beneath, with modes, times and (where that is allowed) owners; links
 * are copied as links, other kinds are refused (-EINVAL). All is on disk when it answers 0. to must
 * not exist; on failure what was made of it stays. -errno. */
int tree_copy(const char *from, const char *to);
