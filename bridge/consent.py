"""What everybody is asked before anything of them is recorded, by language; an installation may have its own words.

The words that somebody agreed to are kept with the recording, so a change here changes no consent given before.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge.messages import Language

WORDING: Mapping[Language, str] = {
    "vi": (
        "Buổi hội chẩn này có thể được ghi lại: hình ảnh, giọng nói, tên và tin nhắn của bạn. Bản ghi được mã hóa, "
        "và chỉ những người phụ trách buổi hội chẩn mới được xem. Bạn có đồng ý được ghi không? Nếu không, bạn vẫn "
        "tham gia bình thường, và không có gì của bạn được lưu lại. Bạn có thể đổi ý bất cứ lúc nào."
    ),
    "ru": (
        "Этот сеанс может записываться: ваше изображение, голос, имя и сообщения. Запись шифруется, и смотреть её "
        "могут только те, кто отвечает за сеанс. Вы согласны на запись? Если нет, вы участвуете как обычно, и ничего "
        "из этого не сохраняется. Решение можно изменить в любую минуту."
    ),
    "en": (
        "This session may be recorded: your picture, your voice, your name and what you write. The recording is "
        "encrypted, and only those responsible for the session may watch it. Do you agree to be recorded? If not, you "
        "take part as usual, and nothing of you is kept. You can change your mind at any time."
    ),
}
"""Short and plain: it is read by people who want to get on with a patient."""


def wording(own: Mapping[Language, str]) -> Mapping[Language, str]:
    """The words of this installation: its own where it has some."""
    return {language: own.get(language) or usual for language, usual in WORDING.items()}
