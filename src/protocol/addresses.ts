/**
 * Method and path of every request of the daemon; `:name` is a parameter. Apart from the schemas in `api.ts`, so that a program that is started
 * anew for each request, the command line, does not have to load them.
 */
export const addresses = {
  status: { method: 'GET', path: '/api/status' },
  submitJob: { method: 'POST', path: '/api/jobs' },
  listJobs: { method: 'GET', path: '/api/jobs' },
  showJob: { method: 'GET', path: '/api/jobs/:id' },
  jobEvents: { method: 'GET', path: '/api/jobs/:id/events' },
  whyJob: { method: 'GET', path: '/api/jobs/:id/why' },
  cancelJob: { method: 'POST', path: '/api/jobs/:id/cancel' },
  retryJob: { method: 'POST', path: '/api/jobs/:id/retry' },
  listEvents: { method: 'GET', path: '/api/events' },
  listSessions: { method: 'GET', path: '/api/sessions' },
  showSession: { method: 'GET', path: '/api/sessions/:id' },
  whySession: { method: 'GET', path: '/api/sessions/:id/why' },
  tailSession: { method: 'GET', path: '/api/sessions/:id/tail' },
  sendSession: { method: 'POST', path: '/api/sessions/:id/send' },
  answerSession: { method: 'POST', path: '/api/sessions/:id/answer' },
  interruptSession: { method: 'POST', path: '/api/sessions/:id/interrupt' },
  stopSession: { method: 'POST', path: '/api/sessions/:id/stop' },
  config: { method: 'GET', path: '/api/config' },
  agents: { method: 'GET', path: '/api/agents' },
  loginCode: { method: 'POST', path: '/api/login-code' },
  stopDaemon: { method: 'POST', path: '/api/daemon/stop' },
} as const;
