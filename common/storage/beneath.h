#pragma once
/* Small things that the files of this room share: folders beneath open ones, and names that nobody
 * else has. */

enum {
    BENEATH_FOLDER_MODE = 0777, /* less the umask: who may read a shared disk is the operator's */
    BENEATH_UUID8 = 9
};

/* Makes the folder unless it is there and opens it (O_PATH), through no link. A descriptor, or
 * -errno. */
int beneath_make(int folder, const char *name);
/* Eight random hexadecimal digits and a NUL. 0 or -errno. */
int beneath_uuid8(char ret_text[BENEATH_UUID8]);
