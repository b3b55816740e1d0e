/* The storage service: transfers to and from the object store as tasks of their own. The work is
 * done by gantry-engine, see engine.h and transfer.h. */
#include "services/worker/node.h"

// clang-format off
#define OFF NODE_PACKED("\xc2")
#define ON NODE_PACKED("\xc3")
#define ZIP NODE_PACKED("\xa3zip")
#define LEVEL NODE_PACKED("\xa7" "default")
#define NONE { NULL, 0 }

static const struct gantry_input upload_directory_inputs[] = {
    { "directory_path", "folder", true, NONE, "the folder", NULL },
    { "bucket", "text", false, NONE, "objects.bucket, which is the default, or one of objects.buckets", NULL },
    { "object_prefix", "text", false, NONE, "what its keys begin with; default {task_id}/{name of the folder}", NULL },
    { "compress", "switch", false, OFF, "as one archive, {object_prefix}/{name of the folder}_compressed.zip or .tar.gz", NULL },
    { "compression_format", "text", false, ZIP, "zip or tar.gz", NULL },
    { "compression_level", "text", false, LEVEL, "store, fast, default or maximum", NULL },
    { "delete_local", "switch", false, OFF, "remove the folder, once the store has all of it; only beneath the task's own", NULL },
};
static const char *const upload_directory_outputs[] = {
    "directory_minio_url", "archive_url", "files_count", "uploaded_files", "bytes", "compression_info", "local_deleted", NULL
};
static const char *const upload_directory_key[] = { "directory_minio_url", NULL };

static const struct gantry_input upload_file_inputs[] = {
    { "file_path", "path", true, NONE, "the file", NULL },
    { "bucket", "text", false, NONE, "objects.bucket, which is the default, or one of objects.buckets", NULL },
    { "object_name", "text", false, NONE, "its key; default {task_id}/{name of the file}", NULL },
    { "content_type", "text", false, NONE, "default by the name's ending", NULL },
    { "delete_local", "switch", false, OFF, "remove the file, once the store has it; only beneath the task's own folder", NULL },
};
static const char *const upload_file_outputs[] = {
    "file_minio_url", "object_name", "bytes", "sha256", "content_type", "local_deleted", NULL
};
static const char *const upload_file_key[] = { "file_minio_url", NULL };

static const struct gantry_input download_inputs[] = {
    { "source", "text", true, NONE, "minio://bucket/key, s3://bucket/key, an address of the store or of another server, or a key of objects.bucket; of a file, or of all beneath a prefix", NULL },
    { "local_path", "text", false, NONE, "place in the task's folder; default the source's name, without its ending when it is unpacked", NULL },
    { "auto_decompress", "switch", false, ON, "an archive (.zip, .tar.gz) is unpacked into a folder", NULL },
};
static const char *const download_outputs[] = { "local_path", "files_count", "bytes", "sha256", "unpacked", NULL };
static const char *const download_key[] = { "local_path", NULL };

#define NODE(method, text, writes) { .name = "storage." #method, .doc = (text), .inputs = method##_inputs, \
    .inputs_count = sizeof method##_inputs / sizeof method##_inputs[0], .outputs = method##_outputs, .key = method##_key, .space = (writes) }

static const struct node_row rows[] = {
    NODE(upload_directory, "a folder to the object store, as it is or as one archive", false),
    NODE(upload_file, "a file to the object store", false),
    NODE(download, "a file, a folder or an archive from the object store or the web into the task's folder", true),
};
// clang-format on

const struct node_table nodes_storage = { "storage", rows, sizeof rows / sizeof rows[0] };
