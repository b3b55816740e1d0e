/* Archives of any bytes: unpacked within the caps, or refused with a sentence and nothing left.
 * What begins with 'T' is a tar that is gzipped here, as no fuzzer guesses a checksum. */
#include "common/pack/pack.h"
#include "common/scoped.h"
#include "common/storage/storage.h"
#include "common/storage/tree.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#define ZLIB_CONST
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES_MAX = 64, BYTES_MAX = 1 << 20, RATIO_MAX = 500 };

static char folder[64];

static void clear(void)
{
    int r = tree_remove(AT_FDCWD, folder);
    assert(r == 0);
}

static void enter(void)
{
    if (!folder[0]) {
        (void)snprintf(folder, sizeof folder, "unpack-fuzz.%d", (int)getpid());
        (void)atexit(clear);
    }
    if (mkdir(folder, 0700) && errno != EEXIST)
        abort();
}

static void write_all(int file, const void *bytes, size_t size)
{
    if (write(file, bytes, size) != (ssize_t)size)
        abort();
}

static void write_gzip(int file, const uint8_t *data, size_t size)
{
    z_stream stream = { .next_in = data, .avail_in = (uInt)size };
    if (deflateInit2(&stream, 0, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    const size_t room = deflateBound(&stream, (uLong)size);
    scoped_text char *out = malloc(room);
    stream.next_out = (uint8_t *)out;
    stream.avail_out = (uInt)room;
    if (!out || deflate(&stream, Z_FINISH) != Z_STREAM_END)
        abort();
    write_all(file, out, room - stream.avail_out);
    (void)deflateEnd(&stream);
}

static struct storage_usage usage_of_folder(void)
{
    struct storage_usage usage = { 0 };
    scoped_fd int open_folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = open_folder < 0 ? -errno : storage_usage(open_folder, &usage);
    assert(r == 0);
    return usage;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char archive[40];
    char message[PACK_MESSAGE];
    struct pack_stats stats = { 0 };
    scoped_fd int file = memfd_create("archive", MFD_CLOEXEC);
    if (file < 0)
        abort();
    if (size && data[0] == 'T')
        write_gzip(file, data + 1, size - 1);
    else
        write_all(file, data, size);
    (void)snprintf(archive, sizeof archive, "/proc/self/fd/%d", file);
    enter();
    const struct unpack_row row = { .archive = archive,
                                    .folder = folder,
                                    .files_max = FILES_MAX,
                                    .bytes_max = BYTES_MAX,
                                    .ratio_max = RATIO_MAX };
    int r = unpack(&row, &stats, message);
    struct storage_usage usage = usage_of_folder();
    if (r) {
        assert(message[0] && usage.files == 0);
        assert(rmdir(folder) == 0); /* it is empty */
    } else {
        assert(usage.files == stats.files && stats.files <= FILES_MAX);
        assert(stats.original_bytes <= BYTES_MAX);
        clear();
    }
    return 0;
}
