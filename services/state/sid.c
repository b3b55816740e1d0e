#include "services/state/sid.h"

const char *sid_text(struct slice session, char text[SID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = session.data;
    size_t size = session.size == (SID_TEXT - 1) / 2 ? session.size : 0;
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = '\0';
    return text;
}
