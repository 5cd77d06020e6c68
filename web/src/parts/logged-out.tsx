/** What somebody sees who has no valid cookie. */
export function LoggedOut() {
  return (
    <section className="empty" data-testid="logged-out">
      <h1>Not logged in</h1>
      <p>
        This page needs a link with a fresh code, once per browser. In a terminal on the machine where Muster runs,{' '}
        <code>muster open</code> prints one (<code>muster status</code> shows the address too).
      </p>
      <p className="soft">This page notices by itself when you have logged in in another tab.</p>
    </section>
  );
}
