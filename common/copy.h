#pragma once
/* Copies across file systems, for paths_hand_over. */

/* A file, or a folder with all beneath; links are copied as links, other kinds are refused
 * (-EINVAL). All is on disk when it answers 0. to must not exist; on failure what was made of it
 * stays. -errno. */
int copy_tree(const char *from, const char *to);
