/* A module of nginx for cmd-planted.sh: answers the requests for a location, and never frees its record of
 * each request. */
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

struct visit {
	u_char path[16000];
};

static __attribute__((noinline)) void remember_visit(ngx_http_request_t *request)
{
	struct visit *volatile visit = ngx_alloc(sizeof *visit, request->connection->log);

	if (visit)
		ngx_cpystrn(visit->path, request->uri.data, ngx_min(request->uri.len + 1, sizeof visit->path));
}

static ngx_int_t answer(ngx_http_request_t *request)
{
	remember_visit(request);
	request->headers_out.status = NGX_HTTP_NO_CONTENT;
	request->header_only = 1;
	return ngx_http_send_header(request);
}

static char *set_visits(ngx_conf_t *file, ngx_command_t *command, void *context)
{
	ngx_http_core_loc_conf_t *location = ngx_http_conf_get_module_loc_conf(file, ngx_http_core_module);

	(void)command;
	(void)context;
	location->handler = answer;
	return NGX_CONF_OK;
}

static ngx_command_t commands[] = {
	{ ngx_string("visits"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, set_visits, 0, 0, NULL },
	ngx_null_command
};
static ngx_http_module_t context;

extern ngx_module_t visits_module;
ngx_module_t visits_module = {
	NGX_MODULE_V1, &context, commands, NGX_HTTP_MODULE, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NGX_MODULE_V1_PADDING
};
